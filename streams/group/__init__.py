"""A worker in its consumer group: Faust, with what it leaves out."""
