"""The contract that the edge and the workers share: events, topics, tables, settings."""
