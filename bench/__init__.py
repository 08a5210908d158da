"""What the README says about speed, as commands that anyone can run."""
