"""How a command ends that is interrupted."""

INTERRUPTED = "sklearn-codex: interrupted"
INTERRUPTED_CODE = 130  # that of a shell for a process that SIGINT has ended
