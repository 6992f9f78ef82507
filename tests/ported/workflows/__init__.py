"""The workflows, by name."""

from orchestrator.core.workflows import LazyWorkflowInstance

LazyWorkflowInstance("workflows.site.create_site", "create_site")
LazyWorkflowInstance("workflows.site.modify_site", "modify_site")
LazyWorkflowInstance("workflows.uplink.create_uplink", "create_uplink")
LazyWorkflowInstance("workflows.ring.create_ring", "create_ring")
LazyWorkflowInstance("workflows.ring.audit", "task_audit_rings")
