"""Chat Completions to Responses and back.  Plain code: bytes and values, no reactor."""

from oaiproxy.bridge.answer import answer_translator
from oaiproxy.bridge.failures import upstream_error
from oaiproxy.bridge.plan import AnswerPlan, Translation
from oaiproxy.bridge.request import translate

__all__ = ["AnswerPlan", "Translation", "answer_translator", "translate", "upstream_error"]
