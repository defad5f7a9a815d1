/**
 * Serves the OpenAPI document and the page for people.
 * Promise: both describe exactly the operations of this dispatch.
 */
import docs from '@tallystick/proto/derived/docs.json' with { type: 'json' };
import type { FastifyInstance } from 'fastify';
import type { Dispatch } from './dispatch.ts';
import { docsPage } from './docs-page.ts';
import type { Comment } from './json-schema.ts';
import { type OpenapiTitle, openapiDocument } from './openapi.ts';

const comments: Readonly<Record<string, string>> = docs;
const comment: Comment = (name) => comments[name];

/** Adds `GET /openapi.json` and `GET /docs`. */
export function registerOpenapi(app: FastifyInstance, dispatch: Dispatch, info: OpenapiTitle): void {
  const document = JSON.stringify(openapiDocument(dispatch.operations, info, comment));
  const page = docsPage(dispatch.operations, info.title, comment);
  const policy = "default-src 'none'; style-src 'unsafe-inline'";
  app.get('/openapi.json', (_request, reply) => reply.type('application/json').send(document));
  app.get('/docs', (_request, reply) =>
    reply.type('text/html; charset=utf-8').header('content-security-policy', policy).send(page),
  );
}
