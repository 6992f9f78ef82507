"""NetBox and the playbook runner, or the lab instead of them, only on the embedded database."""

from resources.lab.launcher import TOKEN, lab_answers, lab_url
from resources.settings import settings
from resources.systems.netbox import NetBox
from resources.systems.playbooks import PlaybookRunner


class NetBoxOrLab(NetBox):
    """NetBox; on the embedded database the lab, while neither `url` nor NETBOX_URL is set."""

    def access(self) -> tuple[str, str]:
        """Like NetBox; starts the lab when the lab answers."""
        return (lab_url(), TOKEN) if lab_answers(self.url, settings().netbox_url) else super().access()


class PlaybookRunnerOrLab(PlaybookRunner):
    """The playbook runner; on the embedded database the lab, while neither `url` nor PLAYBOOK_URL is set."""

    def access(self) -> tuple[str, str]:
        """Like the playbook runner; starts the lab when the lab answers."""
        return (lab_url(), TOKEN) if lab_answers(self.url, settings().playbook_url) else super().access()
