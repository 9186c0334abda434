"""Files of power meters: read by format, checked before they are believed, and imported as captures of their own."""
