"""Phones over ADB: channels that carry bytes, and the one transport that makes them trustworthy."""
