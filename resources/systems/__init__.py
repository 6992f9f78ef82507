"""External systems of the network, each with the verbs that an orchestrator needs."""
