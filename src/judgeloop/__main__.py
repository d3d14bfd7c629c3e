"""`python -m judgeloop` is the same as `judgeloop`."""

from judgeloop.cli import main

main()
