"""What columns are called in other languages than English, by role: in lower case, words joined by underscores."""

from __future__ import annotations

FOREIGN: dict[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "prompt": """指令 问题 提问 提示 提示词 用户输入 問題 質問 プロンプト 指示 질문 지시 지시문 프롬프트
            frage anweisung aufforderung pregunta instrucción instruccion consigna pergunta instrução instrucao
            вопрос инструкция запрос سؤال السؤال تعليمات soru talimat domanda istruzione vraag pytanie polecenie""",
        "input": "输入 补充输入 入力 입력 eingabe entrada ввод",
        "system": "系统提示 系统提示词 系统消息 システムプロンプト",
        "conversation": "对话 会话 对话记录 会話 대화",
        "response": """回答 答案 答复 回复 输出 回應 回覆 答え 出力 応答 답변 응답 출력 답
            antwort ausgabe respuesta salida réponse reponse sortie resposta saída saida ответ вывод
            إجابة الإجابة جواب الجواب cevap yanıt çıktı risposta antwoord odpowiedź""",
        "chosen": """好回答 优选回答 优质回答 较好回答 接受的回答 好的回答 选中回答 良い回答
            bessere_antwort gute_antwort mejor_respuesta respuesta_preferida meilleure_réponse réponse_préférée""",
        "rejected": """差回答 拒绝回答 劣质回答 更差的回答 较差回答 拒绝的回答 差的回答 坏的回答 悪い回答
            schlechtere_antwort schlechte_antwort peor_respuesta respuesta_rechazada réponse_rejetée""",
        "winner": "胜者 获胜者 胜出者 更好的回答 更优回答 偏好 勝者",
        "score": """评分 分数 得分 打分 质量 质量等级 質量 評価 点数 スコア 점수 평점
            bewertung qualität qualitaet puntuación puntuacion calificación оценка""",
        "label": "标签 标注 是否正确 是否合格 正确 合格 是否通过 通过 审核状态 审核结果 合否",
        "kept": "是否采用 采用 是否保留 是否使用",
    }.items()
}

SPEAKERS: dict[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "system": "系统 系統 システム 시스템",
        "user": "用户 用戶 使用者 人类 ユーザー 사용자 nutzer benutzer usuario usuário utilisateur пользователь",
        "assistant": "助手 助理 机器人 アシスタント 어시스턴트 assistent asistente assistente ассистент",
    }.items()
}
