"""The plan for people: one page that works offline, and a fragment for notebooks."""
