"""The lab: NetBox, a playbook runner and devices in small, for those who have none at hand."""
