"""Client profiles: what each client takes, as data.  Plain code: no reactor."""

from oaiproxy.clients.book import UnknownProfile, find_profile, profile_names
from oaiproxy.clients.errors import ErrorAnswer, error_answer, error_message
from oaiproxy.clients.profile import DEFAULT, ClientProfile, ErrorForm, KeepaliveForm, ModelListForm, OddBody

__all__ = [
    "DEFAULT",
    "ClientProfile",
    "ErrorAnswer",
    "ErrorForm",
    "KeepaliveForm",
    "ModelListForm",
    "OddBody",
    "UnknownProfile",
    "error_answer",
    "error_message",
    "find_profile",
    "profile_names",
]
