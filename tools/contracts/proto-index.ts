/**
 * Writes proto/index.ts: every message, enum and service of the contracts by name.
 * Promise: two contracts may not give one name two meanings; that stops the generation.
 */
import type { DescEnum, DescFile, DescMessage, FileRegistry } from '@bufbuild/protobuf';
import { ownFiles } from './image.ts';

const OPTIONS_FILE = 'tallystick/options/v1/options';
const HEAD = `/**
 * Every message, enum and service of the contracts, by name. Written by \`npm run gen\`; do not edit.
 * Promise: what is not exported here is not part of the contracts.
 */
`;

const CATALOGUE =
  "export { codeFromWire, ERROR_CATALOGUE, type ErrorCodeName, type ErrorEntry, type ErrorFamily, isErrorCode, wireCode } from './derived/error-catalogue.ts';\n";

/** Name in generated code: nested types carry their parents' names. */
const localName = (type: DescMessage | DescEnum): string =>
  type.typeName.slice(type.file.proto.package.length + 1).replaceAll('.', '_');

const messagesOf = (messages: readonly DescMessage[]): DescMessage[] =>
  messages.flatMap((message) => [message, ...messagesOf(message.nestedMessages)]);

const enumsOf = (file: DescFile): DescEnum[] => [
  ...file.enums,
  ...messagesOf(file.messages).flatMap((message) => message.nestedEnums),
];

function exportsOf(file: DescFile): string[] {
  const enums = enumsOf(file).flatMap((type) => [localName(type), `${localName(type)}Schema`]);
  const extensions = file.extensions.map((extension) => `${extension.name} as ${extension.name}Option`);
  if (file.name === OPTIONS_FILE) return [...enums, ...extensions];
  const messages = messagesOf(file.messages).flatMap((type) => {
    const name = localName(type);
    return [`type ${name}`, `type ${name}Valid`, `${name}Schema`];
  });
  return [...file.services.map((service) => service.name), ...messages, ...enums, ...extensions];
}

/** @errors throws when two files export one name. */
export function printIndex(image: FileRegistry): string {
  const homes = new Map<string, string>();
  const lines = ownFiles(image).map((file) => {
    const names = exportsOf(file);
    for (const name of names) {
      const home = homes.get(name);
      if (home) throw new Error(`${name} is declared by ${home} and by ${file.name}`);
      homes.set(name, file.name);
    }
    return `export { ${names.join(', ')} } from './gen/${file.name}_pb.ts';`;
  });
  return `${HEAD}${CATALOGUE}${lines.join('\n')}\n`;
}
