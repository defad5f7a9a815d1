/**
 * Prints the derived documents as one JSON object {path: text}; `npm run gen` writes them.
 * Promise: reads the compiled image named by its argument, and the terminal's commands from standard input; writes no file itself.
 */
import { readFileSync } from 'node:fs';
import { readOperations } from '../contract.ts';
import { openapiDocument } from '../openapi.ts';
import { readComments } from './comments.ts';
import { apiPage, type Commands, contractLock, scopesByMethod, toolDocuments } from './documents.ts';
import { ALL_SERVICES } from './services.ts';

const STDIN = 0;
const INFO = {
  title: 'Tallystick',
  version: 'v1',
  description: 'Machines by the minute, and a signed receipt for every step.',
};

const comments = readComments(readFileSync(process.argv[2] ?? ''));
const comment = (name: string): string | undefined => comments[name];
const operations = readOperations(ALL_SERVICES);
const commands = JSON.parse(readFileSync(STDIN, 'utf8')) as Commands;
const json = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;

process.stdout.write(
  JSON.stringify({
    'proto/derived/docs.json': json(comments),
    'proto/derived/openapi.json': json(openapiDocument(operations, INFO, comment)),
    'proto/derived/mcp-tools.json': json(toolDocuments(operations, comment)),
    'proto/derived/contract.lock': contractLock(operations),
    'proto/vectors/scopes-by-method.txt': scopesByMethod(operations),
    'docs/reference/api.md': apiPage(operations, comment, commands),
  }),
);
