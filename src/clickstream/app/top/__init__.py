"""A running group as it is seen from outside: from Kafka, and from the consumers' metrics."""
