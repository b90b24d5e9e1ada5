"""The bundle: what the workstation writes and the device opens."""
