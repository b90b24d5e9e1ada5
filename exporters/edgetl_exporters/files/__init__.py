"""Files of other formats, read and written."""
