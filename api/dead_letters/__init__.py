"""Dead letters: messages that could not be used, listed, shown, replayed and discarded."""
