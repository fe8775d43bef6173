"""How replicas follow the load, by Ferryman itself and by an autoscaler; begin at ``run``."""
