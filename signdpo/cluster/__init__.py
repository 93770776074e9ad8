"""Where a run's parts find room: the plan of resources, placement, autoscaling, how Ray is started."""
