"""The lab: a small NetBox, playbook runner and devices, for users who have none."""
