"""External systems of the network, each with the methods that an orchestrator needs."""
