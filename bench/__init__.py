"""What docs/figures.md says about speed, as commands that anyone can run."""
