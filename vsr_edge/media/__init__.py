"""Video files: probe, plan, read. The only room that imports av."""
