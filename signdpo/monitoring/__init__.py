"""What a person watches a run by: Ray's metrics, the Grafana board over them, TensorBoard and other trackers."""
