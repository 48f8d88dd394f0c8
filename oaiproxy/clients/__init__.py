"""Client profiles: what each client takes, as data.  Plain code: no reactor."""

from oaiproxy.clients.profile import DEFAULT, ClientProfile, KeepaliveForm

__all__ = ["DEFAULT", "ClientProfile", "KeepaliveForm"]
