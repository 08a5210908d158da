"""What is looked at before a process starts: settings, files, Kafka, ClickHouse, all at once."""
