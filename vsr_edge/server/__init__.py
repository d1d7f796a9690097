"""The archive on the network of a site: an HTTP service whose routes call :class:`Archive`."""
