"""First and last names of the demo's invented staff."""

from typing import Final


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text in their order."""
    return tuple(text.split())


FIRST_NAMES: Final = words(
    """
    aaron adele ahmed aiko alan alice amara amelie anders anita anna anton arjun beata ben bianca bruno carla chen
    clara claus dana daniel david deepa diego elena emil emma erik esther eva fabian fatima felix fiona flora frank
    grace greta hanna harald hugo ida ines ingrid ivan jana jasper joan jonas julia kamal karin kenji klara lars
    laura leila leo lin linda luca lucia magda malik marco maria martin maya mei mila mohan nadia nina noah nora
    olga oscar paula pavel petra priya rahul ravi rita robert rosa sam sara silas simon sofia stefan tara theo tim
    uma vera victor wei yara yusuf zoe
    """
)
LAST_NAMES: Final = words(
    """
    abel adler ahmad baker bauer becker berg bianchi blum brandt braun brooks carter castro chan clarke costa cruz
    dietz dubois ellis engel ernst evans farkas fischer fontana foster fuchs garcia gill graf gruber haas hahn hall
    hansen hart hayes heinz hoffmann horn hughes ito jansen jensen kang kaur keller khan klein koch kowalski krause
    kumar lang larsen lee lehmann lim lopez lorenz marsh martens mayer meyer moore moreau murphy nair neumann ng
    novak olsen owens park patel pohl pope quinn rao reed reis richter rossi roth santos sato schmid shah silva
    singh stone suarez tan tanaka thomas torres vogel wagner walsh weber wolf wong wright zhang ziegler
    """
)
