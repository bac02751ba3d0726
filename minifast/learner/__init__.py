"""The learner: its loop, its verbs, and what they need."""
from .learner import Learner

__all__ = ["Learner"]
