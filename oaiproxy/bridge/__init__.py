"""Chat Completions to Responses and back.  Plain code: bytes and values, no reactor."""

from oaiproxy.bridge.answer import answer_translator
from oaiproxy.bridge.choices import joint_translator
from oaiproxy.bridge.failures import upstream_error
from oaiproxy.bridge.healing import Learnt, Repair, repair_for
from oaiproxy.bridge.plan import AnswerPlan, Translation
from oaiproxy.bridge.request import translate

__all__ = [
    "AnswerPlan",
    "Learnt",
    "Repair",
    "Translation",
    "answer_translator",
    "joint_translator",
    "repair_for",
    "translate",
    "upstream_error",
]
