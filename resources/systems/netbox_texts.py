"""NetBox's text fields, as the models, forms and comparisons of products share them."""

from resources.systems.external_text import ExternalText

MARKER = r"\[[0-9a-f]{16}\]"
"""What the client adds to a description, to find again what it made (see `netbox`)."""

NETBOX_DESCRIPTION = ExternalText("NetBox", longest=200, added=19, ending=MARKER)
NETBOX_DEVICE_NAME = ExternalText("NetBox", longest=64, ignores_case=True)
NETBOX_INTERFACE_NAME = ExternalText("NetBox", longest=64)
NETBOX_NAME = ExternalText("NetBox", longest=100, ignores_case=True)
"""The name of a site, role, manufacturer or device type: `NetBox` finds them by name in any case."""
