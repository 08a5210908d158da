"""Social posts: from a request to a caption and a picture, within the quota."""
