"""The edge: lets events in over HTTP and reads answers out."""
