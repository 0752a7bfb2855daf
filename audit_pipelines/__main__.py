"""Lets `python -m audit_pipelines` do what `audit-pipelines` does, for processes that start others."""

from audit_pipelines.cli import main

main()
