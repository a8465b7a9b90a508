/* What libpq makes of connection strings: one string a line in hex; for each, a line: "-" where libpq refuses it, else
 * every parameter that was given as keyword=hex, separated by blanks. Compiled by the test beside it. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while ((length = getline(&line, &room, stdin)) > 0)
	{
		size_t count = (size_t) (length - 1) / 2;
		char *text = calloc(count + 1, 1);
		char *error = NULL;
		PQconninfoOption *options;

		for (size_t i = 0; i < count; i++)
		{
			unsigned int byte;

			if (sscanf(line + 2 * i, "%2x", &byte) != 1)
				return 1;
			text[i] = (char) byte;
		}
		options = PQconninfoParse(text, &error);
		if (options == NULL)
			printf("-\n");
		else
		{
			for (PQconninfoOption *option = options; option->keyword != NULL; option++)
			{
				if (option->val == NULL)
					continue;
				printf("%s=", option->keyword);
				for (const unsigned char *at = (const unsigned char *) option->val; *at; at++)
					printf("%02x", *at);
				printf(" ");
			}
			printf("\n");
			PQconninfoFree(options);
		}
		free(error);
		free(text);
	}
	return 0;
}
