"""The field station: a page on which a camera is trained by tapping, and the HTTP interface behind it (extra `serve`)."""
