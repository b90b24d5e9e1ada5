"""The inbox: frames that a running camera was unsure of, kept until a person labels them."""

from edgetl.inbox.grouping import Group
from edgetl.inbox.inbox import Inbox, InboxItem

__all__ = ["Group", "Inbox", "InboxItem"]
