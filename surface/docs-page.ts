/**
 * The contract as one plain page for people.
 * Promise: no script, no asset from elsewhere; says nothing that the OpenAPI document does not.
 */
import type { Operation } from './contract.ts';
import type { Comment } from './json-schema.ts';

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (char) => ESCAPES[char] ?? char);

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font:14px ui-monospace,monospace}dt{margin-top:1rem}table{border-collapse:collapse}td{padding:.15rem .8rem .15rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}`;

function operationHtml(operation: Operation, comment: Comment): string {
  const routes = operation.routes
    .map(({ verb, template }) => `<code>${verb} ${escapeHtml(template)}</code>`)
    .join('<br>');
  const access = operation.isPublic ? 'public' : operation.scopes.join(' ');
  const fields = operation.method.input.fields.map((field) => {
    const text = comment(`${field.parent.typeName}.${field.name}`) ?? '';
    return `<tr><td><code>${field.name}</code></td><td>${escapeHtml(text)}</td></tr>`;
  });
  const table = fields.length > 0 ? `<table>${fields.join('')}</table>` : '';
  return `<dt id="${operation.method.name}">${routes} <small>${escapeHtml(access)}</small></dt><dd>${escapeHtml(comment(operation.name) ?? '')}${table}</dd>`;
}

export function docsPage(operations: readonly Operation[], title: string, comment: Comment): string {
  const services = [...new Set(operations.map((operation) => operation.method.parent))];
  const sections = services.map((service) => {
    const own = operations.filter((operation) => operation.method.parent === service);
    const list = own.map((operation) => operationHtml(operation, comment)).join('');
    return `<h2>${service.name.replace(/Service$/, '')}</h2><p>${escapeHtml(comment(service.typeName) ?? '')}</p><dl>${list}</dl>`;
  });
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><style>${STYLE}</style><h1>${escapeHtml(title)}</h1>
<p>For programs: <a href="openapi.json">openapi.json</a>. Live streams: WebSocket at <code>/v1/live</code>.</p>${sections.join('')}</html>`;
}
