"""Social posts: asked for, followed while they are made, listed, and their pictures."""
