"""The workers behind Kafka."""
