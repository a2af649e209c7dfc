"""Which role the scripted model plays for a conversation.

Owns the order: a reflection prompt, a literal script, else a worker's task. Does not own the roles;
the worker and the reflector know nothing of each other.
Invariant: a fault asked for in a prompt befalls every role, and one quoted inside a fenced block
befalls none.
"""

import re

import msgspec

from armarius.testing.conversation import Conversation
from armarius.testing.faults import fault_in_prompt
from armarius.testing.policy import Worker
from armarius.testing.reflector import is_reflection, reflect
from armarius.testing.reply import Reply, Say
from armarius.testing.script import is_scripted, scripted_reply

__all__ = ["ScriptedModel"]

_FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.DOTALL | re.MULTILINE)


class ScriptedModel(msgspec.Struct, frozen=True):
    """The model behind the server: a worker, a reflector, or an actor who reads from a script."""

    worker: Worker = Worker()

    def __call__(self, conversation: Conversation) -> Reply:
        """The next response; DataError when the prompt asks for something that does not exist."""
        reply = self._role(conversation)
        fault = reply.fault or fault_in_prompt(_FENCED.sub("", conversation.task))
        return msgspec.structs.replace(reply, fault=fault)

    def _role(self, conversation: Conversation) -> Reply:
        if is_reflection(conversation.task):
            return Reply((Say(reflect(conversation.task)),))
        if is_scripted(conversation.task):
            return scripted_reply(conversation)
        return self.worker.reply(conversation)
