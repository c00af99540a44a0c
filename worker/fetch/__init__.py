"""The web room: one request at a time, checked, bounded, recorded; and the rules of when and whether to ask."""
