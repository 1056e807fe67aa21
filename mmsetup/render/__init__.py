"""The same report values as text, JSON or pictures: nothing here decides anything."""
