"""`python -m jobs.report recipe.yaml`."""

from jobs.cli import main_verb

if __name__ == "__main__":
    raise SystemExit(main_verb("report"))
