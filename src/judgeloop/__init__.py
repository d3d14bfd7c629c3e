"""judgeloop trains a language model on its own judgements (Self-Rewarding Language Models, arXiv 2401.10020)."""

__version__ = "0.1.0"
