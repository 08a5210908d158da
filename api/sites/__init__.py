"""Events from websites: sent by the pages themselves, by a site key that is public."""
