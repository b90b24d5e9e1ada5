"""What this computer is and how it fares, as far as it changes numbers or latencies; read from the operating system, never guessed.

`facts` are what edgetl itself decides by, `description` is what a record says, and `sensors` are read before and after a measurement.
"""

from edgetl.machine.description import describe
from edgetl.machine.facts import cores, features, instruction_set, is_x86, saturates_u8s8

__all__ = ["cores", "describe", "features", "instruction_set", "is_x86", "saturates_u8s8"]
