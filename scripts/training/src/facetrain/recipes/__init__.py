"""Recipes: functions that return a complete ``Run``; the command line names ``module:function``."""
